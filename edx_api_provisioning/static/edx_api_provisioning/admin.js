"use strict";

/** A form is sent once: the page that a second click would bring could not show the credentials again. */
function sendOnce() {
    const forms = document.querySelectorAll("form[data-once]");
    for (const form of forms) {
        form.addEventListener("submit", (event) => {
            if (form.dataset.sent) {
                event.preventDefault();
            }
            form.dataset.sent = "yes";
        });
    }
    // Whoever comes back to the page may send it again.
    window.addEventListener("pageshow", () => forms.forEach((form) => delete form.dataset.sent));
}

/** Whether the text of an element is in the clipboard now. */
async function copy(element) {
    try {
        await navigator.clipboard.writeText(element.textContent);
        return true;
    } catch {
        // No permission, or no https: select it, and ask the browser in the old way.
        window.getSelection().selectAllChildren(element);
        return document.execCommand("copy");
    }
}

/** Offer the text of an element as a file; it never leaves the browser. */
function download(element, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([element.textContent], {type: "application/octet-stream"}));
    link.download = name;
    link.click();
    URL.revokeObjectURL(link.href);
}

/** The buttons of the page that shows credentials, which without JavaScript has none. */
function takeAlong(page) {
    const status = page.querySelector("[role=status]");
    for (const button of page.querySelectorAll("[data-copy]")) {
        button.hidden = false;
        button.addEventListener("click", async () => {
            status.textContent = "";
            const copied = await copy(document.getElementById(button.dataset.copy));
            // A little later, so that it is said again for a second value.
            setTimeout(() => {
                status.textContent = copied ? page.dataset.copied : page.dataset.notCopied;
            }, 50);
        });
    }
    for (const button of page.querySelectorAll("[data-download]")) {
        button.hidden = false;
        button.addEventListener("click", () => {
            download(document.getElementById(button.dataset.download), button.dataset.name);
        });
    }
    // A browser may keep a page that was left in memory, to show it again at once: not these values.
    window.addEventListener("pagehide", () => page.replaceChildren(page.dataset.gone));
}

document.addEventListener("DOMContentLoaded", () => {
    sendOnce();
    document.querySelectorAll("[data-secrets]").forEach(takeAlong);
});
