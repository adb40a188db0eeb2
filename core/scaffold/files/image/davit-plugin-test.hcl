# What davit plugin test asks for. here is this folder.
test "image" "{{type}}" {
  config  = { repository = "registry.example.com/x", index = "${here}/testdata/index.txt" }
  invalid = [{ repository = "", index = "x" }, { repository = "registry.example.com/x", index = "${here}/testdata/none" }]
  tag     = "1.0.0"
}
