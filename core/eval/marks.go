package eval

import "github.com/davit-sh/davit/core/functions"

// Sensitive marks a value that must not be shown or stored.
const Sensitive = functions.Sensitive
