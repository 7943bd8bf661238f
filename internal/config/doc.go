// Package config reads the settings of a server: flags before environment before
// file before defaults.
//
// It owns their names, types, defaults and ranges, and every message about a wrong
// one. It hides file formats and how a setting is found by its name. It must not
// know what settings are used for; only app imports it, and cmd, which hands it
// on.
//
// A setting is one field of Config: its tags say name and range, its comment is
// its description in docs/configuration.md, which is generated from here: go test
// ./internal/config -update.
//
// Start reading at Config, then Load.
package config
