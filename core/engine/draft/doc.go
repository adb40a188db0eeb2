// Package draft makes a plan of what package look has found: it plans the deletions, compares owners, names what cannot be planned and what
// is left out for that, evaluates checks and outputs, and puts the changes and their steps into one list.
package draft
