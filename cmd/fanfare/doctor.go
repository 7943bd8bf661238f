package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fanfare-push/fanfare/internal/doctor"
)

func doctorCommand() *cobra.Command {
	s := &settings{}
	var asJSON, live bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what is unsafe or odd in these settings",
		Long: `Say what is unsafe or odd in these settings, the worst first: each with the setting,
why, and what to do. Nothing is asked but the settings; with --live also this
machine: who can read files, what kind of disk there is, how many files may be open.
Ends with 1 if there is an error; warnings and notes are yours to judge.`,
		Example: `  fanfare doctor --config fanfare.yaml
  fanfare doctor --config fanfare.yaml --live --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found := s.diagnose(live)
			if err := tellFindings(cmd.OutOrStdout(), found, asJSON); err != nil {
				return err
			}
			switch n := doctor.Count(found, doctor.Error); n {
			case 0:
				return nil
			case 1:
				return errors.New("doctor: 1 error")
			default:
				return fmt.Errorf("doctor: %d errors", n)
			}
		},
	}
	s.addAll(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "findings as a JSON array")
	cmd.Flags().BoolVar(&live, "live", false, "look at files and limits of this machine, too; run it as the server's user")
	return cmd
}

// diagnose is what the doctor finds; settings that no server starts with are
// findings, too.
func (s *settings) diagnose(live bool) []doctor.Finding {
	cfg, err := s.load()
	if err != nil {
		return doctor.Unloadable(err)
	}
	if live {
		return doctor.Check(&cfg, doctor.Here{})
	}
	return doctor.Check(&cfg, nil)
}

func tellFindings(w io.Writer, found []doctor.Finding, asJSON bool) error {
	if !asJSON {
		return doctor.Write(w, found)
	}
	out := json.NewEncoder(w)
	out.SetIndent("", "  ")
	out.SetEscapeHTML(false)
	return out.Encode(found)
}
