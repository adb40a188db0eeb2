# What davit plugin test asks for. source has the files of a folder beside this file.
test "build" "{{type}}" {
  config  = { source = source("testdata/one"), directory = "out", tag = "1" }
  changed = { source = source("testdata/two"), directory = "out", tag = "2" }
  invalid = { source = source("testdata/one"), directory = "", tag = "1" }
}
