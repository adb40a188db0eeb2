# What davit plugin test asks for. here is this folder.
test "source" "{{type}}" {
  config  = { path = "${here}/testdata/one" }
  changed = { path = "${here}/testdata/two" }
  invalid = [{ path = "" }, { path = "${here}/testdata/none" }]
}
