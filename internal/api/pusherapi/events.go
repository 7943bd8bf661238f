package pusherapi

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/fanfare-push/fanfare/internal/channel"
	"github.com/fanfare-push/fanfare/internal/hub"
	"github.com/fanfare-push/fanfare/internal/protocol/pusher"
)

// event is one event as a backend triggers it.
type event struct {
	Name     string   `json:"name"`
	Data     *string  `json:"data"`
	Channels []string `json:"channels"`
	Channel  string   `json:"channel"`
	SocketID string   `json:"socket_id"`
	Info     info     `json:"info"`
}

// check reports what of an event cannot be published.
func (h *call) check(e *event) error {
	bad := func(text string) error { return refused(http.StatusBadRequest, text) }
	switch {
	case e.Name == "" || len(e.Name) > pusher.MaxEventName:
		return bad(fmt.Sprintf("name must have 1 to %d bytes", pusher.MaxEventName))
	case pusher.IsReserved(e.Name):
		return bad("names of events must not begin with pusher: or pusher_internal:")
	case e.Data == nil:
		return bad("data must be given, as a string")
	case len(*e.Data) > h.cfg.MaxData:
		return refused(http.StatusRequestEntityTooLarge, fmt.Sprintf("data has %d bytes, at most %d are allowed", len(*e.Data), h.cfg.MaxData))
	case len(e.Channels) == 0 || len(e.Channels) > MaxChannels:
		return bad(fmt.Sprintf("an event goes to 1 to %d channels", MaxChannels))
	}
	for _, name := range e.Channels {
		if err := pusher.CheckChannel(name); err != nil {
			return bad(err.Error())
		}
		if len(e.Channels) > 1 && channel.KindOf(name).Has(channel.KindEncrypted) {
			return bad("an event of an encrypted channel goes to that channel alone")
		}
	}
	if e.SocketID != "" {
		if _, err := pusher.SessionID(e.SocketID); err != nil {
			return bad(err.Error())
		}
	}
	return nil
}

// publications are what an event becomes: one for each of its channels.
func (h *call) publications(e *event) (list []hub.Publish, err error) {
	if e.Channel != "" {
		e.Channels = append(e.Channels, e.Channel)
	}
	if err := h.check(e); err != nil {
		return nil, err
	}
	except := ""
	if e.SocketID != "" {
		if except, err = pusher.SessionID(e.SocketID); err != nil {
			return nil, err
		}
	}
	data := pusher.Data(*e.Data)
	seen := make(map[string]bool, len(e.Channels))
	for _, name := range e.Channels {
		if !seen[name] {
			seen[name] = true
			list = append(list, hub.Publish{App: h.app, Channel: name, Data: data, Event: e.Name, Except: except})
		}
	}
	return list, nil
}

// publish publishes everything, or as much as there is room for.
func (h *call) publish(r *http.Request, list []hub.Publish) error {
	var errs []error
	for _, p := range h.hub.PublishAll(r.Context(), list) {
		if p.Err != nil && !slices.ContainsFunc(errs, func(err error) bool { return errors.Is(err, p.Err) }) {
			errs = append(errs, p.Err)
		}
	}
	return errors.Join(errs...)
}

// events publishes one event.
func (h *call) events(r *http.Request, body []byte) (any, error) {
	var e event
	if err := decode(body, &e); err != nil {
		return nil, err
	}
	list, err := h.publications(&e)
	if err == nil {
		err = h.publish(r, list)
	}
	if err != nil || e.Info == "" {
		return struct{}{}, err
	}
	infos := make(map[string]channelInfo, len(list))
	for i := range list {
		infos[list[i].Channel] = h.told(r, list[i].Channel, e.Info)
	}
	return map[string]any{"channels": infos}, nil
}

// told is what is asked of a channel that was published to. What cannot be found out
// is left out: after an error the events would be published again.
func (h *call) told(r *http.Request, name string, ask info) channelInfo {
	about, err := h.about(r, name, unknown, ask, false)
	if err != nil {
		h.cfg.Log.Debug("a channel's state is not told with its event", "channel", name, "error", err)
	}
	return about
}

// batch publishes several events, in order.
func (h *call) batch(r *http.Request, body []byte) (any, error) {
	var request struct {
		Batch []event `json:"batch"`
	}
	if err := decode(body, &request); err != nil {
		return nil, err
	}
	if len(request.Batch) == 0 || len(request.Batch) > MaxBatch {
		return nil, refused(http.StatusBadRequest, fmt.Sprintf("a batch has 1 to %d events", MaxBatch))
	}
	var list []hub.Publish
	asked := false
	for i := range request.Batch {
		e := &request.Batch[i]
		if len(e.Channels) > 0 {
			return nil, refused(http.StatusBadRequest, "an event of a batch has one channel")
		}
		publications, err := h.publications(e)
		if err != nil {
			return nil, err
		}
		list = append(list, publications...)
		asked = asked || e.Info != ""
	}
	if err := h.publish(r, list); err != nil || !asked {
		return struct{}{}, err
	}
	infos := make([]channelInfo, len(request.Batch))
	for i, e := range request.Batch {
		infos[i] = h.told(r, e.Channel, e.Info)
	}
	return map[string]any{"batch": infos}, nil
}

// terminate ends every connection of a user.
func (h *call) terminate(r *http.Request, _ []byte) (any, error) {
	user := r.PathValue("user")
	if len(user) > pusher.MaxUserID || strings.TrimSpace(user) == "" {
		return nil, refused(http.StatusBadRequest, fmt.Sprintf("a user's id has 1 to %d bytes", pusher.MaxUserID))
	}
	return struct{}{}, h.disconnect(r, user)
}
