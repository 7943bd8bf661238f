package limit

import "net/netip"

// ipv6Host is how much of an IPv6 address tells who it is: a host has the rest to
// itself (RFC 4291, 2.5.4; RFC 6177).
const ipv6Host = 64

// Host is what limits for each address should count by: an address of IPv4, a /64
// of IPv6. IPv4 within IPv6 is IPv4, and zones do not count. The zero Addr has the
// zero Prefix.
func Host(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := ipv6Host
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // the zero Addr has none
	return p
}
