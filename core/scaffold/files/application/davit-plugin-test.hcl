# What davit plugin test asks for.
test "application" "{{type}}" {
  config  = { path = "a.txt", content = "one" }
  changed = { path = "a.txt", content = "two" }
  invalid = [{ path = "/etc/passwd", content = "" }, { path = "a.txt", content = "", mode = "secret" }]
}
