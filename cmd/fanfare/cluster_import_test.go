package main

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/fanfare-push/fanfare/client"
	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/move"
)

// answering is the API of a server that answers everything with one reply.
func answering(t *testing.T, status int, reply string) *client.API {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, reply)
	}))
	t.Cleanup(s.Close)
	api, err := client.NewAPIWith(s.Client(), s.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestImportReadsAnswers(t *testing.T) {
	two := [][]byte{{1}, {2}}
	send := sender(answering(t, http.StatusOK, `{"result":{"pieces":[{"there":true},{"error":{"code":111,"message":"busy","temporary":true}}]}}`))
	got, err := send(t.Context(), two)
	if err != nil || len(got) != 2 || !got[0].There || got[0].Err != nil || !temporary(got[1].Err) {
		t.Errorf("%+v %v", got, err)
	}
	if _, err := sender(answering(t, http.StatusOK, `{"result":{"pieces":[{"there":true}]}}`))(t.Context(), two); err == nil {
		t.Error("one answer to two pieces is taken")
	}
	// A request that is too large although it holds one piece concerns that piece.
	send = sender(answering(t, http.StatusRequestEntityTooLarge, `{"error":{"code":106,"message":"the body has more than 4 bytes"}}`))
	if got, err = send(t.Context(), two[:1]); err != nil || len(got) != 1 || got[0].Err == nil || temporary(got[0].Err) {
		t.Errorf("one piece: %+v %v", got, err)
	}
	if _, err = send(t.Context(), two); err == nil || temporary(err) {
		t.Errorf("two pieces: %v", err)
	}
}

func TestImportKnowsWhatMayPass(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	api, err := client.NewAPI(gone.URL, "key")
	if err != nil {
		t.Fatal(err)
	}
	defer api.Close()
	if _, err := sender(api)(t.Context(), [][]byte{nil}); err == nil || !temporary(err) {
		t.Errorf("a server that is away: %v", err)
	}
	if temporary(errors.New("a disk")) {
		t.Error("an error that is nobody's passes")
	}
}

func TestImportTellsWhatIsLeft(t *testing.T) {
	var out strings.Builder
	err := tellMoved(&out, &move.Report{
		Channels: 3, Publications: 9, Before: 2, Expired: 1, ExpiredPublications: 4,
		Left: []move.Left{{Channel: channel.ID{App: "shop", Name: "a\nb"}, Reason: "because"}},
	})
	want := "moved: 3 channels, 9 publications (2 of them before)\nleft as expired: 1 channels, 4 publications\n" +
		`left: channel "a\nb" of app "shop": because` + "\n"
	if err != nil || out.String() != want {
		t.Errorf("%q %v", out.String(), err)
	}
}
