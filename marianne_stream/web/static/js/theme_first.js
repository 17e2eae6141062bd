// Before anything is drawn: a page that turns from light to dark would flash.
document.documentElement.dataset.theme = localStorage.getItem("marianne-stream theme") ?? "auto";
