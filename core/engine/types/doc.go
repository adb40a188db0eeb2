// Package types is the catalogue of the block types that plugins provide, and the forms that their values have: as a plugin gets them, as
// a record keeps them, and as other blocks see them.
package types
