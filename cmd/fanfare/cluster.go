package main

import "github.com/spf13/cobra"

func clusterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "cluster", Short: "Look after a cluster of nodes",
		Long: "Look after several nodes that act as one.",
	}
	cmd.AddCommand(clusterImportCommand())
	return cmd
}
