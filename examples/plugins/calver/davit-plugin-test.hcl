# What davit plugin test asks for.
test "policy" "calendar" {
  config  = { format = "YYYY.0M.MICRO" }
  changed = { format = "YYYY.0M.MICRO", not_after = "2026.05", prerelease = true }
  invalid = [{ format = "1.2.3" }, { format = "YYYY.0M", not_after = "June" }]
  tags    = ["2026.04.1", "2026.05.0", "2026.05.10", "2026.06.0-rc1", "latest"]
}
