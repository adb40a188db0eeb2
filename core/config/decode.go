package config

import (
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/gocty"
)

func decode(v cty.Value, want cty.Type, into any) error {
	v, err := convert.Convert(v, want)
	if err != nil {
		return err
	}
	return gocty.FromCtyValue(v, into)
}
