package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/fanfare-push/fanfare/internal/admin/password"
)

func adminCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "admin", Short: "What the page of a server needs"}
	cmd.AddCommand(adminPasswordCommand())
	return cmd
}

func adminPasswordCommand() *cobra.Command {
	generate := false
	cmd := &cobra.Command{
		Use:   "password",
		Short: "Hash a password for the page's login",
		Long: `Print the hash (argon2id) of a password, for admin.password_hash, the variable
FANFARE_ADMIN_PASSWORD_HASH, or a file that admin.password_file names. The password
is asked for twice, or read from standard input: one line. It is kept nowhere.`,
		Example: `  fanfare admin password > admin.hash
  fanfare admin password --generate > admin.hash    # the password goes to the terminal`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given, err := choosePassword(cmd, generate)
			if err != nil {
				return err
			}
			hash, err := password.Make(given)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), hash.String())
			return err
		},
	}
	cmd.Flags().BoolVar(&generate, "generate", false, "make a password of 128 random bits, and print it to standard error")
	return cmd
}

func choosePassword(cmd *cobra.Command, generate bool) (string, error) {
	if generate {
		made := rand.Text()
		_, err := fmt.Fprintln(cmd.ErrOrStderr(), made)
		return made, err
	}
	if in, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(in.Fd())) {
		return askPassword(int(in.Fd()), cmd.ErrOrStderr())
	}
	line, err := bufio.NewReader(io.LimitReader(cmd.InOrStdin(), password.MaxLength+2)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// askPassword reads a password that is not shown, twice.
func askPassword(terminal int, prompt io.Writer) (string, error) {
	var said [2]string
	for i, question := range []string{"Password: ", "Once more: "} {
		if _, err := fmt.Fprint(prompt, question); err != nil {
			return "", err
		}
		typed, err := term.ReadPassword(terminal)
		_, _ = fmt.Fprintln(prompt) // the key that ended it was not shown either
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		said[i] = string(typed)
	}
	if said[0] != said[1] {
		return "", errors.New("the two are not the same")
	}
	return said[0], nil
}
