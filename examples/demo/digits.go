package main

import (
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// side is the width and the height of an image, black the value of its darkest pixels.
const (
	side   = 8
	pixels = side * side
	black  = 16
)

// digit is a handwritten digit and what its writer meant.
type digit struct {
	image [pixels]byte
	label int
}

// readDigits reads the 1,797 digits that come with scikit-learn: 64 pixels and the label in a row.
func readDigits(data string) ([]digit, error) {
	path := filepath.Join(data, "data", "digits.csv.gz")
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	reader := csv.NewReader(unzipped)
	reader.FieldsPerRecord = pixels + 1
	rows, err := reader.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	set := make([]digit, len(rows))
	for i, row := range rows {
		if set[i], err = parseDigit(row); err != nil {
			return nil, fmt.Errorf("%s, row %d: %w", path, i+1, err)
		}
	}
	return set, nil
}

func parseDigit(row []string) (d digit, err error) {
	for i := range d.image {
		value, err := strconv.ParseUint(row[i], 10, 8)
		if err != nil || value > black {
			return d, fmt.Errorf("pixel %q is not a number from 0 to %d", row[i], black)
		}
		d.image[i] = byte(value)
	}
	if d.label, err = strconv.Atoi(row[pixels]); err != nil || d.label < 0 || d.label > 9 {
		return d, fmt.Errorf("label %q is not a digit", row[pixels])
	}
	return d, nil
}
