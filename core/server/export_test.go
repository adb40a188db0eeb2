package server

// Row is a row of the table of endpoints.
type Row struct {
	Name, Method, Path, Verb, Summary string
	Changes, Stream                   bool
	Body                              any
}

// Rows are the rows of the table of endpoints.
func Rows() []Row {
	var list []Row
	for _, e := range endpoints() {
		list = append(list, Row{e.Name, e.Method, e.Path, e.Verb, e.Summary, e.Changes, e.stream, e.Body})
	}
	return list
}
