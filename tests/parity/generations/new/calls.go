package main

import (
	"context"
	"errors"
	"math"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/made/pantry"
)

// calls are those of a program that knows what is new.
func calls(ctx context.Context, client *penstock.Client, made outcomes) {
	old := pantry.CookArgs{
		Name: pointer("soup"), Grams: 5, Heat: pantry.HeatLow, Vessel: pantry.Pot{Litres: 2}, Lid: pointer(true),
	}
	cook := func(name string, change func(*pantry.CookArgs)) error {
		args := old
		change(&args)
		text, err := pantry.Cook(ctx, client, args)
		made.add(name, text, err)
		return err
	}
	cook("cook with what the first release had", func(*pantry.CookArgs) {})
	cook("cook without a name", func(a *pantry.CookArgs) { a.Name = nil })
	cook("cook with spice", func(a *pantry.CookArgs) { a.Spice = pointer("dill") })
	cook("cook more than the first release could", func(a *pantry.CookArgs) { a.Grams = 5000 })
	cook("cook at medium heat", func(a *pantry.CookArgs) { a.Heat = pantry.HeatMedium })
	cook("cook in a wok", func(a *pantry.CookArgs) { a.Vessel = pantry.Wok{Cm: 30} })
	cook("cook, whatever the lid", func(a *pantry.CookArgs) { a.Lid = nil })
	err := cook("cook with much salt", func(a *pantry.CookArgs) { a.Salt = pointer(20.0) })
	made["cook with much salt: the sentinel"] = errors.Is(err, pantry.ErrTooSalty)

	dish, err := pantry.Serve(ctx, client, pantry.ServeArgs{Name: "soup"})
	made.add("serve", dish, err)
	for name, pinches := range map[string]float64{"season": 3, "season by half": 0.5, "season without end": math.Inf(1)} {
		grams, err := pantry.Season(ctx, client, pantry.SeasonArgs{Pinches: pinches})
		made.add(name, grams, err)
	}
	grams, err := pantry.Weigh(ctx, client, pantry.WeighArgs{Item: "flour"})
	made.add("weigh", grams, err)
	ounces, err := pantry.WeighV2(ctx, client, pantry.WeighArgsV2{Thing: "flour", Unit: pantry.WeighArgsV2UnitOz})
	made.add("weigh, version 2", ounces, err)
}
