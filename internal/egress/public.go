package egress

import (
	"net/netip"
	"slices"
)

// inside are the ranges that are not reached over the internet, or that lead to
// others: the registries of special-purpose addresses (RFC 6890 and its updates).
var inside = prefixes(
	"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
	"192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
	"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)

// global is all of IPv6 that is given out (RFC 4291, 2.4); what is not in it is
// loopback, link-local, unique local, multicast, or holds an IPv4 address.
var global = netip.MustParsePrefix("2000::/3")

// tunnels are the parts of global that are not for hosts, or lead elsewhere:
// Teredo and its neighbours, documentation, 6to4 (RFC 3056), segment routing.
var tunnels = prefixes("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")

func prefixes(texts ...string) []netip.Prefix {
	list := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		list[i] = netip.MustParsePrefix(text)
	}
	return list
}

// Public reports whether an address is one of the internet's. An IPv4 address
// inside an IPv6 one counts as what it is when mapped (RFC 4291, 2.5.5.2), and as
// not public in every other form.
func Public(addr netip.Addr) bool {
	if !addr.IsValid() || addr.Zone() != "" {
		return false
	}
	addr = addr.Unmap()
	in := func(p netip.Prefix) bool { return p.Contains(addr) }
	if addr.Is4() {
		return !slices.ContainsFunc(inside, in)
	}
	return global.Contains(addr) && !slices.ContainsFunc(tunnels, in)
}
