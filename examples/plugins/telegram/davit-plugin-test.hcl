# What davit plugin test asks for: TELEGRAM_API is a server that is there and takes what it is sent.
test "notification" "telegram" {
  config  = { chat = "@ops", token = "12:good", api = env("TELEGRAM_API") }
  invalid = [{ chat = "", token = "12:good" }, { chat = "@ops", token = "a/b" }, { chat = "@ops", token = "12:good", api = "ftp://x" }]
}
