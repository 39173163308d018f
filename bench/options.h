/* SPDX-License-Identifier: MIT
 *
 * The command lines of the benchmarks' clients: a table of names, ranges and places, with the values that hold where
 * nothing is said already in the places. Numbers are whole, and stand alone or after "=". */
#pragma once

#include "support.h"

#include <getopt.h>

/* `number` or, for one that takes no value, `flag`. */
struct option_spec {
  const char *name;
  uint64_t *number, least, most;
  bool *flag;
};

enum { OPTIONS_MAX = 12 };

/* What is asked of all of them in the same way. */
#define OPTION_PORT(place)                                                                                             \
  { .name = "port", .number = (place), .least = 1, .most = 65535 }
#define OPTION_CONNECTIONS(place)                                                                                      \
  { .name = "connections", .number = (place), .least = 1, .most = DESCRIPTOR_LIMIT - 100 }
#define OPTION_WATCH(place)                                                                                            \
  { .name = "watch", .number = (place), .least = 1, .most = INT32_MAX }
#define OPTION_MS(title, place, fewest)                                                                                \
  { .name = (title), .number = (place), .least = (fewest), .most = 600000 }

/* The usage on standard error, and the end of the program. */
__attribute__((noreturn)) static inline void usage_print(const char *usage) {
  fprintf(stderr, "usage: %s\n", usage);
  exit(2);
}

/* Ends the program on what is not in the table, or not in its range. */
static inline void options_read(const struct option_spec *specs, size_t count, const char *usage, int argc,
                                char **argv) {
  struct option known[OPTIONS_MAX + 1] = {{0}};
  if (count > OPTIONS_MAX)
    die("too many options");
  for (size_t i = 0; i < count; i++)
    known[i] = (struct option){.name = specs[i].name, .has_arg = specs[i].flag ? no_argument : required_argument};
  int at = 0;
  for (int option; (option = getopt_long(argc, argv, "", known, &at)) != -1;) {
    if (option != 0)
      usage_print(usage);
    const struct option_spec *spec = &specs[at];
    char name[32];
    snprintf(name, sizeof name, "--%s", spec->name);
    if (spec->flag)
      *spec->flag = true;
    else
      *spec->number = number_parse(name, optarg, spec->least, spec->most);
  }
  if (optind != argc)
    usage_print(usage);
}
