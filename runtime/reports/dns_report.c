/* SPDX-License-Identifier: MIT
 *
 * Counters of the table of names, and those of its names that serve though nobody answers for them. */
#include "reports/dns_report.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "names/host_table.h"

#include <errno.h>

enum { MOST_NAMES = 32 };

static const char *error_of(int status) {
  switch (status) {
  case -ENOENT:
    return "no such name, or no address";
  case -ETIMEDOUT:
    return "no answer";
  default:
    return "the name servers fail";
  }
}

void dns_report(struct instance *instance, struct value *table) {
  struct host_report reports[MOST_NAMES];
  struct host_counts counts;
  if (!instance->hosts)
    return;
  size_t count = host_table_list_stale(instance->hosts, clock_now(&instance->runtime->clock), reports, MOST_NAMES);
  host_table_count(instance->hosts, &counts); /* without what was listed last */
  value_set_number(table, "names", (double)counts.names);
  value_set_number(table, "stale", (double)counts.stale);
  struct value *queries = value_set_table(table, "queries");
  for (size_t i = 0; i < HOST_RESULT_COUNT; i++)
    value_set_number(queries, host_result_label((enum host_result)i), (double)counts.results[i]);
  struct value *names = value_set_table(table, "stale_names");
  for (size_t i = 0; i < count; i++) {
    struct value *name = value_set_table(names, NULL);
    value_set_string(name, "name", reports[i].name);
    value_set_string(name, "error", error_of(reports[i].status));
    value_set_number(name, "seconds", (double)reports[i].stale_ms / 1000);
    value_set_number(name, "left", (double)reports[i].left_ms / 1000);
    value_set_number(name, "addresses", reports[i].addresses);
  }
}
