module github.com/shadowspore/fossil-delta

go 1.26.0

require github.com/centrifugal/fdelta v0.0.3
