package main

import (
	"strings"
	"testing"
	"time"

	"github.com/fanfare-push/fanfare/client"
)

func TestShowCluster(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	c := client.Cluster{Name: "demo", Nodes: []client.ClusterNode{
		{
			UID: "1", Name: "n1", Self: true, Role: "core", Version: "1.2.3", Address: "10.0.0.1:8000", PeerAddress: "10.0.0.1:8020", UptimeSeconds: 90, Clients: 5, Ready: true,
			Logs: []client.ClusterLog{{Name: "disk-0", Leader: "n2", Last: 9, Applied: 9}, {Name: "disk-1", Leader: "n1", Last: 4, Applied: 4, LastError: "no quorum", LastErrorMS: 940_000}},
		},
		{
			UID: "2", Name: "n2", Role: "core", Version: "1.2.3", Clients: 1, Reason: "draining\x1b[31m",
			Logs: []client.ClusterLog{{Name: "disk-0", Leader: "n2", Last: 9, Applied: 2}, {Name: "disk-1", Last: 3, Applied: 3}},
		},
		{UID: "3", Name: "n3", Silent: true},
		{Name: "n4", Role: "core", Reason: "it is not there"},
	}}
	var b strings.Builder
	if err := showCluster(&b, &c, now); err != nil {
		t.Fatal(err)
	}
	want := `cluster demo

NODE  ROLE  VERSION  CLIENTS        OTHER NODES    UPTIME  CONNECTIONS  STATE
n1    core  1.2.3    10.0.0.1:8000  10.0.0.1:8020  1m30s   5            ready
n2    core  1.2.3    -              -              0s      1            not ready: draining` + "\uFFFD" + `[31m
n3    -     -        -              -              0s      0            does not answer
n4    core  -        -              -              0s      0            it is not there

LOG     LEADER  LAST  BEHIND   LAST ERROR
disk-0  n2      9     n2 by 7  -
disk-1  n1      4     -        n1, 1m0s ago: no quorum
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
	if err := judge(&c); err == nil || err.Error() != "cluster: 3 of 4 nodes not ready" {
		t.Error(err)
	}
	c.Nodes = c.Nodes[:1]
	if err := judge(&c); err != nil {
		t.Error(err)
	}
}
