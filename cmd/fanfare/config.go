package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or print settings"}
	cmd.AddCommand(configCheckCommand(), configPrintCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Say whether serve would accept these settings",
		Long:    "Say whether serve would accept these settings: file, environment and flags.\nEnds with 1 and a line for each thing that is wrong if it would not.",
		Example: "  fanfare config check --config fanfare.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := s.load(); err != nil {
				return err
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "the settings are valid")
			return err
		},
	}
	s.addAll(cmd)
	return cmd
}

func configPrintCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:     "print",
		Short:   "Print all settings as they are in effect",
		Long:    "Print all settings as they are in effect, as YAML: flags before environment before\nfile before defaults. Secrets are masked; options of channels that are off are left out.",
		Example: "  fanfare config print --dev",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			text, err := cfg.Print()
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(text)
			return err
		},
	}
	s.addAll(cmd)
	return cmd
}
