"""Read manifests; write credentials as text, JSON, dotenv, YAML and Kubernetes Secrets."""
