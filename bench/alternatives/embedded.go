//go:build cgo && python

package main

/*
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdlib.h>

static PyObject *function;

// Imports `call` of `work` from a folder, and leaves the GIL to whoever calls next.
static int prepare(const char *folder) {
	Py_InitializeEx(0);
	PyObject *path = PySys_GetObject("path"), *place = PyUnicode_FromString(folder);
	if (!path || !place || PyList_Insert(path, 0, place) < 0) return -1;
	PyObject *module = PyImport_ImportModule("work");
	if (!module || !(function = PyObject_GetAttrString(module, "call"))) {
		PyErr_Print();
		return -1;
	}
	PyEval_SaveThread();
	return 0;
}

static int call(const char *work, long long *answer) {
	PyGILState_STATE state = PyGILState_Ensure();
	PyObject *result = PyObject_CallFunction(function, "s", work);
	*answer = result ? PyLong_AsLongLong(result) : -1;
	int failed = PyErr_Occurred() != NULL;
	if (failed) PyErr_Print();
	Py_XDECREF(result);
	PyGILState_Release(state);
	return failed;
}
*/
import "C"

import (
	"context"
	"errors"
	"unsafe"
)

// embedded is CPython in this very process.
type embedded struct {
	room chan struct{}
}

func openEmbedded(folder string) (caller, error) {
	place := C.CString(folder)
	defer C.free(unsafe.Pointer(place))
	if C.prepare(place) != 0 {
		return nil, errors.New("the embedded Python cannot import its work")
	}
	return &embedded{make(chan struct{}, atOnce)}, nil
}

func (e *embedded) call(ctx context.Context, work string) (int64, error) {
	type result struct {
		answer C.longlong
		failed bool
	}
	ended := make(chan result, 1)
	// Nobody can end a call in C: who has no patience any more leaves it behind, and its thread, too.
	go func() {
		e.room <- struct{}{}
		defer func() { <-e.room }()
		name := C.CString(work)
		defer C.free(unsafe.Pointer(name))
		var r result
		r.failed = C.call(name, &r.answer) != 0
		ended <- r
	}()
	select {
	case r := <-ended:
		if r.failed {
			return 0, errors.New("the call raised")
		}
		return int64(r.answer), nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (*embedded) close() {}
