package functions

import (
	"math/big"
	"net"
	"net/netip"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/gocty"
)

// network reads the first argument as a prefix in CIDR notation.
func network(args []cty.Value) (*net.IPNet, error) {
	_, n, err := net.ParseCIDR(args[0].AsString())
	if err != nil {
		return nil, function.NewArgErrorf(0, "this is not a network in CIDR notation, such as 10.0.0.0/8")
	}
	return n, nil
}

// whole reads an argument as a whole number of any size.
func whole(args []cty.Value, i int) (*big.Int, error) {
	var n *big.Int
	if err := gocty.FromCtyValue(args[i], &n); err != nil {
		return nil, function.NewArgError(i, err)
	}
	return n, nil
}

var cidrHost = function.New(&function.Spec{
	Description: "The address of a host in a network. A negative number counts from the network's end.",
	Params:      []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "hostnum", Type: cty.Number}},
	Type:        function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		n, err := network(args)
		if err != nil {
			return cty.NilVal, err
		}
		host, err := whole(args, 1)
		if err != nil {
			return cty.NilVal, err
		}
		ip, err := cidr.HostBig(n, host)
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "%s", err)
		}
		return cty.StringVal(ip.String()), nil
	},
})

var cidrNetmask = oneText("The netmask of an IPv4 network, such as 255.255.0.0. IPv6 has none.", func(s string) (string, error) {
	n, err := network([]cty.Value{cty.StringVal(s)})
	if err != nil {
		return "", err
	}
	if n.IP.To4() == nil {
		return "", function.NewArgErrorf(0, "an IPv6 network has no netmask")
	}
	return net.IP(n.Mask).String(), nil
})

var cidrSubnet = function.New(&function.Spec{
	Description: "A subnet of a network: its prefix is newbits longer, netnum is its number.",
	Params:      []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "newbits", Type: cty.Number}, {Name: "netnum", Type: cty.Number}},
	Type:        function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		n, err := network(args)
		if err != nil {
			return cty.NilVal, err
		}
		var bits int
		if err := gocty.FromCtyValue(args[1], &bits); err != nil {
			return cty.NilVal, function.NewArgError(1, err)
		}
		num, err := whole(args, 2)
		if err != nil {
			return cty.NilVal, err
		}
		sub, err := cidr.SubnetBig(n, bits, num)
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(2, "%s", err)
		}
		return cty.StringVal(sub.String()), nil
	},
})

var cidrContains = twoTexts("Whether a network contains an address or another network.", "prefix", "address_or_prefix", func(outer, inner string) (bool, error) {
	network, err := netip.ParsePrefix(outer)
	if err != nil {
		return false, function.NewArgErrorf(0, "this is not a network in CIDR notation, such as 10.0.0.0/8")
	}
	var bits int
	ip, err := netip.ParseAddr(inner)
	if err == nil {
		bits = ip.BitLen()
	} else {
		p, err := netip.ParsePrefix(inner)
		if err != nil {
			return false, function.NewArgErrorf(1, "this is neither an address nor a network in CIDR notation")
		}
		ip, bits = p.Addr(), p.Bits()
	}
	if ip.Is4() != network.Addr().Is4() {
		return false, function.NewArgErrorf(1, "IPv4 and IPv6 cannot be compared")
	}
	return bits >= network.Bits() && network.Contains(ip), nil
})
