package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Markdown renders docs/config.md from the tree and its defaults.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Configuration\n\nGenerated from the program by `make generate`; do not edit.\n\n" +
		"`cambio serve --config FILE` reads one YAML file. `cambio config check` says what is wrong with it, `cambio config print` shows it with the defaults filled in. " +
		"An unknown key stops the program.\n\n| key | default | meaning |\n|---|---|---|\n")
	c := Default()
	describe(&b, "", reflect.ValueOf(c))
	return b.String()
}

func describe(b *strings.Builder, prefix string, v reflect.Value) {
	t := v.Type()
	for i := range t.NumField() {
		f := t.Field(i)
		key := prefix + f.Tag.Get("yaml")
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", key, defaultText(v.Field(i)), f.Tag.Get("doc"))
		switch {
		case f.Type.Kind() == reflect.Struct:
			describe(b, key+".", v.Field(i))
		case f.Type.Kind() == reflect.Slice && f.Type.Elem().Kind() == reflect.Struct:
			describe(b, key+"[].", reflect.New(f.Type.Elem()).Elem())
		}
	}
}

func defaultText(v reflect.Value) string {
	switch {
	case v.Kind() == reflect.Struct, v.Kind() == reflect.Slice, v.IsZero() && v.Kind() != reflect.Bool:
		return ""
	case v.Type() == reflect.TypeFor[time.Duration]():
		return "`" + durationText(v.Interface().(time.Duration)) + "`"
	}
	return fmt.Sprintf("`%v`", v.Interface())
}

// durationText leaves out the parts that are zero: 1h30m, not 1h30m0s.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
