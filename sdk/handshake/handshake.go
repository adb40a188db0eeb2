// Package handshake has the constants that a davit plugin and its host must share.
package handshake

import goplugin "github.com/hashicorp/go-plugin"

// Config is the handshake. A plugin that was not started by davit detects this by the missing variable, and prints a message.
var Config = goplugin.HandshakeConfig{
	ProtocolVersion:  1,
	MagicCookieKey:   "DAVIT_PLUGIN",
	MagicCookieValue: "8a4f2b61c09d4e7f",
}

// Name is the name of the one service in go-plugin's plugin map.
const Name = "davit"

// MaxMessage is the maximum size, in bytes, of a message in either direction.
const MaxMessage = 256 << 20
