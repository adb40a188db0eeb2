// Package handshake is what a davit plugin and its host must agree on before they speak.
package handshake

import goplugin "github.com/hashicorp/go-plugin"

// Config is the handshake: a plugin that is run by hand, or by something else, notices and says so.
var Config = goplugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "DAVIT_PLUGIN",
	MagicCookieValue: "8a4f2b61c09d4e7f",
}

// Name is the name of the one service in go-plugin's plugin map.
const Name = "davit"

// MaxMessage is the size in bytes of the largest message that either side takes.
const MaxMessage = 256 << 20
