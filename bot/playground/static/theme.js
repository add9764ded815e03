// A classic script in <head>: the remembered theme stands before anything is painted.
try {
  const theme = JSON.parse(localStorage.getItem("parley.theme"));
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage can be forbidden; the system's theme is good then.
}
