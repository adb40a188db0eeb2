test "application" "noop" {
  config  = { input = "one", triggers = ["a"] }
  changed = { input = "two" }
}
