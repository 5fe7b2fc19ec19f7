package wire

import (
	"strings"
	"testing"
)

// The SHA-256 of "abc": FIPS 180-2, appendix B.1.
const abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

func TestABlobIsNamedByItsHashAndItsSize(t *testing.T) {
	t.Parallel()
	blob := BlobOf([]byte("abc"))
	if blob != (Blob{abc, 3}) || !blob.Is([]byte("abc")) || blob.Is([]byte("abd")) || blob.Is([]byte("abcd")) {
		t.Fatalf("got %+v", blob)
	}
	headers := map[string]any{}
	blob.Headers(headers)
	if named := NamedBlob(headers); named == nil || *named != blob {
		t.Fatalf("headers %v name %+v", headers, named)
	}
	if named := NamedBlob(map[string]any{HeaderBlob: abc, HeaderBlobSize: int32(3)}); *named != blob {
		t.Fatalf("with a short integer: %+v", named)
	}
	id := "0192f3c4-5b6a-7c8d-9e0f-a1b2c3d4e5f6"
	if key := blob.Key("shop", id); key != "shop:blob:{"+id+"}:"+abc {
		t.Fatalf("it lies under %s", key)
	}
}

func TestHeadersThatNameNoProperBlob(t *testing.T) {
	t.Parallel()
	for _, headers := range []map[string]any{nil, {HeaderBlobSize: int64(3)}, {HeaderBlob: 3}} {
		if blob := NamedBlob(headers); blob != nil {
			t.Errorf("%v name %+v", headers, blob)
		}
	}
	for _, headers := range []map[string]any{
		{HeaderBlob: abc}, {HeaderBlob: abc, HeaderBlobSize: "3"}, {HeaderBlob: abc, HeaderBlobSize: int64(0)},
		{HeaderBlob: abc, HeaderBlobSize: int64(-3)}, {HeaderBlob: "", HeaderBlobSize: int64(3)},
		{HeaderBlob: strings.ToUpper(abc), HeaderBlobSize: int64(3)}, {HeaderBlob: abc + "0", HeaderBlobSize: int64(3)},
	} {
		if blob := NamedBlob(headers); blob == nil || blob.Size != -1 {
			t.Errorf("%v name %+v", headers, blob)
		}
	}
}
