// Runs before the first paint: a page that changes from light to dark would flash.
try {
  const theme = JSON.parse(localStorage.getItem("marianne-stream theme") ?? "null");
  document.documentElement.dataset.theme = theme ?? "auto";
} catch {
  document.documentElement.dataset.theme = "auto";
}
