# What davit plugin test asks for.
test "policy" "{{type}}" {
  config  = { prefix = "v" }
  changed = { prefix = "v1" }
  invalid = { prefix = "*" }
  tags    = ["v1", "v2", "v10", "latest"]
}
