# What davit plugin test asks for.
test "notification" "{{type}}" {
  config  = { file = "/dev/null" }
  invalid = { file = "relative" }
}
