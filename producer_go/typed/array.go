package typed

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Number is what an [Array] may hold.
type Number interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64 | float32 | float64
}

// Array is an array of numbers in any number of dimensions: numpy's ndarray.
type Array[T Number] struct {
	Shape []int // the size of each dimension; empty: a single number
	Data  []T   // the elements in C order: the last index varies fastest
}

// Vector returns the array of one dimension that has these elements; it shares them.
func Vector[T Number](data ...T) Array[T] {
	return Array[T]{Shape: []int{len(data)}, Data: data}
}

// Matrix returns the array of two dimensions with these elements, row after row; it shares them.
func Matrix[T Number](rows, columns int, data []T) Array[T] {
	return Array[T]{Shape: []int{rows, columns}, Data: data}
}

// ArrayBounds are what a contract says of an array beyond its elements' type.
type ArrayBounds struct {
	NDim      int // -1: any
	MinItems  int
	MaxItems  int // -1: any
	NonFinite bool
}

const maxNDim = 32

// Check returns the rule that the array breaks, or nil.
func (a Array[T]) Check(b ArrayBounds) *InvalidError {
	if b.NDim >= 0 && len(a.Shape) != b.NDim {
		return Fail("shape", "array", "must have %d dimensions, not %d", b.NDim, len(a.Shape)).In("shape")
	}
	if len(a.Shape) > maxNDim {
		return Fail("shape", "array", "must have at most %d dimensions", maxNDim).In("shape")
	}
	size, ok := product(a.Shape)
	if !ok {
		return Fail("shape", "array", "must be sizes from 0 whose product is a number of elements").In("shape")
	}
	if len(a.Shape) == 0 && len(a.Data) != 1 {
		return Fail("shape", "bin", "has no shape; make the array with typed.Vector or typed.Matrix").In("data")
	}
	if size != len(a.Data) {
		return Fail("shape", "bin", "must have %d elements, as the shape says, not %d", size, len(a.Data)).In("data")
	}
	if size < b.MinItems {
		return Fail("minItems", "map", "must have at least %d elements", b.MinItems)
	}
	if b.MaxItems >= 0 && size > b.MaxItems {
		return Fail("maxItems", "map", "must have at most %d elements", b.MaxItems)
	}
	if !b.NonFinite && !allFinite(a.Data) {
		return Fail("finite", "map", "must have finite elements only")
	}
	return nil
}

// product of the sizes; ok is false when one is negative or there are too many elements for any body.
func product(shape []int) (size int, ok bool) {
	const most = 1 << 48
	size, area := 1, 1
	for _, n := range shape {
		if n < 0 || n > most {
			return 0, false
		}
		size *= n
		if area *= max(n, 1); area > most {
			return 0, false
		}
	}
	return size, true
}

func allFinite[T Number](data []T) bool {
	switch data := any(data).(type) {
	case []float64:
		// The exponent of what is not finite has all its bits set.
		for _, f := range data {
			if math.Float64bits(f)&0x7ff0000000000000 == 0x7ff0000000000000 {
				return false
			}
		}
	case []float32:
		for _, f := range data {
			if math.Float32bits(f)&0x7f800000 == 0x7f800000 {
				return false
			}
		}
	}
	return true
}

// dtype is the name of the elements' type in contracts, which is Go's own.
func dtype[T Number]() string { return fmt.Sprintf("%T", *new(T)) }

// Encode writes the array, whose elements are copied once.
func (a Array[T]) Encode(e *Encoder) {
	e.Map(3)
	e.Key("dtype")
	e.Str(dtype[T]())
	e.Key("shape")
	e.Array(len(a.Shape))
	for _, n := range a.Shape {
		e.Int(int64(n))
	}
	e.Close()
	e.Key("data")
	if room := e.Room(len(a.Data) * size[T]()); room != nil {
		copy(room, bytesOf(a.Data))
		swap(room, size[T]())
	}
	e.Close()
}

// DecodeArray reads an array; its elements are copied once.
func DecodeArray[T Number](d *Decoder) (a Array[T]) {
	var has [3]bool
	var data []byte
	for range max(d.Map(), 0) {
		key := d.Key()
		d.Property(key)
		switch key {
		case "dtype":
			has[0] = true
			if name, want := d.Str(), dtype[T](); name != want {
				d.Fail("dtype", "str", "must be "+want)
			}
		case "shape":
			has[1] = true
			a.Shape = decodeShape(d)
		case "data":
			has[2] = true
			data = d.Bytes()
		default:
			d.Fail("unknown", d.Kind(), "is not known")
		}
		d.Leave()
	}
	for i, name := range []string{"dtype", "shape", "data"} {
		if !has[i] {
			d.Missing(name)
		}
	}
	if d.Misfit() != nil {
		return Array[T]{}
	}
	if n, ok := product(a.Shape); !ok || n*size[T]() != len(data) {
		d.Property("data")
		d.Fail("shape", "bin", fmt.Sprintf("must have %d bytes", n*size[T]()))
		d.Leave()
		return Array[T]{}
	}
	a.Data = make([]T, len(data)/size[T]())
	copy(bytesOf(a.Data), data)
	swap(bytesOf(a.Data), size[T]())
	return a
}

func decodeShape(d *Decoder) []int {
	n := d.Array()
	if n > maxNDim {
		d.Fail("shape", "array", fmt.Sprintf("must be an array of at most %d sizes", maxNDim))
		return nil
	}
	shape := make([]int, 0, max(n, 0))
	for i := range max(n, 0) {
		d.Index(i)
		if size := d.Int(); size < 0 || size > math.MaxInt {
			d.Fail("shape", "int", "must be an int from 0")
		} else {
			shape = append(shape, int(size))
		}
		d.Leave()
	}
	return shape
}

func size[T Number]() int { return int(unsafe.Sizeof(*new(T))) }

// bytesOf is the memory of a slice.
func bytesOf[T Number](data []T) []byte {
	if len(data) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(data))), len(data)*size[T]())
}

// swap turns the machine's order of bytes into that of the wire, little-endian, and back.
func swap(b []byte, width int) {
	if bigEndian {
		for ; len(b) > 0; b = b[width:] {
			slices.Reverse(b[:width])
		}
	}
}

var bigEndian = binary.NativeEndian.Uint16([]byte{0, 1}) == 1
