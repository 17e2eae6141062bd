// Before anything is drawn: a page that turns from light to dark would flash.
try {
  const theme = JSON.parse(localStorage.getItem("marianne-stream theme"));
  document.documentElement.dataset.theme = theme ?? "auto";
} catch {
  document.documentElement.dataset.theme = "auto";
}
