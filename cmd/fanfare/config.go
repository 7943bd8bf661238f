package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/config"
	"github.com/fanfare-push/fanfare/internal/doctor"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check or print settings"}
	cmd.AddCommand(configCheckCommand(), configPrintCommand())
	return cmd
}

func configCheckCommand() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say whether serve would accept these settings",
		Long: `Say whether serve would accept these settings: file, environment and flags.
Ends with 1 and a line for each thing that is wrong if it would not. What serve
accepts and "fanfare doctor" calls an error, such as a short secret, is warned of.`,
		Example: "  fanfare config check --config fanfare.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := s.load()
			if err != nil {
				return err
			}
			if err := warn(cmd.ErrOrStderr(), &cfg); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "the settings are valid")
			return err
		},
	}
	s.addAll(cmd)
	return cmd
}

// warn tells what the doctor calls an error. A server starts with it all the same,
// as it may be meant where nobody but its developer is, so check does not fail; dev
// mode is meant, and says so itself when it starts.
func warn(w io.Writer, cfg *config.Config) error {
	if cfg.Dev {
		return nil
	}
	bad := slices.DeleteFunc(doctor.Check(cfg, nil), func(f doctor.Finding) bool { return f.Severity != doctor.Error })
	if len(bad) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w, "serve starts with these settings, but do not run it with them (see fanfare doctor):"); err != nil {
		return err
	}
	return doctor.List(w, bad)
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
