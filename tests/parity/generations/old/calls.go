package main

import (
	"context"
	"errors"
	"fmt"

	penstock "github.com/penstock-mq/penstock/producer_go"
	"github.com/penstock-mq/penstock/producer_go/internal/made/pantry"
)

// calls are those of a program that was built from the first release's contracts.
func calls(ctx context.Context, client *penstock.Client, made outcomes) {
	args := pantry.CookArgs{Name: "soup", Grams: 5, Heat: pantry.HeatLow, Vessel: pantry.Pot{Litres: 2}, Lid: true}
	text, err := pantry.Cook(ctx, client, args)
	made.add("cook", text, err)

	args.Heat, args.Lid = pantry.HeatHigh, false
	_, err = pantry.Cook(ctx, client, args)
	made.add("cook until it burns", nil, err)
	made["cook until it burns: the sentinel"] = errors.Is(err, pantry.ErrBurnt)

	args.Lid, args.Salt = true, pointer(20.0)
	text, err = pantry.Cook(ctx, client, args)
	made.add("cook with much salt", text, err)

	dish, err := pantry.Serve(ctx, client, pantry.ServeArgs{Name: "soup"})
	made.add("serve", dish, err)
	made["serve: its taste is known"] = dish.Taste.Known()
	made["serve: what it is in"] = fmt.Sprintf("%T", dish.Served)

	grams, err := pantry.Season(ctx, client, pantry.SeasonArgs{Pinches: 3})
	made.add("season", grams, err)
	grams, err = pantry.Weigh(ctx, client, pantry.WeighArgs{Item: "flour"})
	made.add("weigh", grams, err)
}
