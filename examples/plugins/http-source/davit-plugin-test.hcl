# What davit plugin test asks for: HTTP_SOURCE_URL is a server that is there.
test "source" "http" {
  config  = { url = "${env("HTTP_SOURCE_URL")}/one", file = "one.txt", token = "a secret token" }
  changed = { url = "${env("HTTP_SOURCE_URL")}/two" }
  invalid = [
    { url = "ftp://example.com/x" },
    { url = "${env("HTTP_SOURCE_URL")}/none" },
    { url = "${env("HTTP_SOURCE_URL")}/one", file = "../x" },
    { url = "${env("HTTP_SOURCE_URL")}/one", timeout_seconds = 0 },
  ]
}
