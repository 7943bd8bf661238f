package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/config"
)

// settings are the flags that set settings of the server.
type settings struct {
	cmd  *cobra.Command
	file string
}

// addFile adds --config.
func (s *settings) addFile(cmd *cobra.Command) {
	s.cmd = cmd
	cmd.Flags().StringVarP(&s.file, "config", "c", os.Getenv(config.EnvConfig), "file with settings: YAML, TOML or JSON (environment: "+config.EnvConfig+")")
}

// addAll adds --config and a flag for each setting that is often set by hand. A
// flag is called like its key.
func (s *settings) addAll(cmd *cobra.Command) {
	s.addFile(cmd)
	d, f := config.Default(), cmd.Flags()
	f.String("listen", d.Listen, "address and port; port 0: any that is free")
	f.String("data-dir", d.DataDir, "where history on disk is kept")
	f.Bool("dev", d.Dev, "allow everything to everybody on this machine")
	f.String("transport", d.Transport, "auto, or goroutine: two goroutines for each connection")
	f.String("cluster", d.Cluster.Name, "name of the cluster that this node is one of (default: it is alone)")
	f.String("node", d.Cluster.Node, "name of this node in the cluster")
	f.String("cluster-listen", d.Cluster.Listen, "address and port for the other core nodes")
	f.String("cluster-peers", "", "address and port of each other core node, separated by commas")
	f.Bool("edge", false, "hold connections only: join the core nodes of --cluster-peers, and come and go freely")
	f.String("nats", "", "URLs of an existing NATS cluster, separated by commas, in place of the built-in server")
	f.String("log-level", d.Log.Level, "debug, info, warn or error")
	f.String("log-format", d.Log.Format, "text or json")
}

// flagKeys are the settings that have a flag.
var flagKeys = []string{
	"listen", "data_dir", "dev", "transport", "log.level", "log.format",
	"cluster.name", "cluster.node", "cluster.listen", "cluster.peers", "cluster.nats", "cluster.edge",
}

// flagOf is what the flag of a key is called: as the key, but for those that
// somebody types when a cluster is made.
func flagOf(key string) string {
	switch key {
	case "cluster.name":
		return "cluster"
	case "cluster.node":
		return "node"
	case "cluster.nats":
		return "nats"
	case "cluster.edge":
		return "edge"
	}
	return config.FlagName(key)
}

// load reads all settings: flags before environment before file.
func (s *settings) load() (config.Config, error) {
	given := map[string]string{}
	for _, key := range flagKeys {
		if f := s.cmd.Flags().Lookup(flagOf(key)); f != nil && f.Changed {
			given[key] = f.Value.String()
		}
	}
	return config.Load(config.Sources{File: strings.TrimSpace(s.file), Env: os.Environ(), Flags: given})
}
