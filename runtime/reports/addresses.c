/* SPDX-License-Identifier: MIT
 *
 * The answer is made in two steps: what is asked for is copied under the locks of the table, then sorted and told. */
#include "reports/reports.h"

#include "connection/limits.h"
#include "instance/instance.h"
#include "instance/runtime.h"
#include "net/ip_set.h"
#include "threads/names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GROWN_BY = 1024 };

struct selection {
  const struct native_addresses *wanted;
  struct name_scope *scopes; /* of the names that there are */
  size_t scope_count;
  struct ip_set *clients; /* NULL: any */
  uint64_t block_ms;      /* limits.block_for, which no block outlasts */
  struct limit_report *reports;
  size_t count, room;
  size_t remembered, blocked; /* of all that there are */
  bool complete;
};

static const char *scope_of(const struct limit_report *report) {
  return report->scope == LIMIT_SCOPE_ALL ? "all" : report->scope == LIMIT_SCOPE_UNROUTED ? "unrouted" : "route";
}

static const char *route_of(const struct selection *selection, const struct limit_report *report) {
  if (report->scope < LIMIT_SCOPE_ROUTES)
    return NULL;
  const char *text = name_scope_text(selection->scopes, selection->scope_count, report->scope);
  return text ? text : "(removed)";
}

/* Does one of them lie in the other? */
static bool prefixes_meet(const struct prefix *a, const struct prefix *b) {
  unsigned bits = a->bits < b->bits ? a->bits : b->bits;
  for (unsigned i = 0; i < bits; i++)
    if ((a->bytes[i / 8] ^ b->bytes[i / 8]) & (0x80 >> (i % 8)))
      return false;
  return true;
}

/* Of IPv6 a prefix is told: it is meant too when it is an address of it that was asked for. */
static bool is_client(const struct selection *selection, const struct limit_report *report) {
  struct prefix asked;
  if (!ip_set_prefix(selection->clients, 0, &asked))
    return ip_set_contains(selection->clients, &report->address);
  struct prefix shown = prefix_make(report->address.bytes, ip_address_is_ipv4(&report->address), report->prefix);
  return prefixes_meet(&asked, &shown);
}

static bool address_is_wanted(const struct selection *selection, const struct limit_report *report) {
  const struct native_addresses *wanted = selection->wanted;
  if (wanted->blocked && report->blocked_ms == 0)
    return false;
  if (selection->clients && !is_client(selection, report))
    return false;
  if (wanted->scope && strcmp(wanted->scope, scope_of(report)) != 0)
    return false;
  const char *route = wanted->route ? route_of(selection, report) : NULL;
  return !wanted->route || (route && strcmp(wanted->route, route) == 0);
}

static void on_report(void *context, const struct limit_report *shown) {
  struct selection *selection = context;
  struct limit_report bounded = *shown;
  const struct limit_report *report = &bounded;
  if (bounded.blocked_ms > selection->block_ms)
    bounded.blocked_ms = selection->block_ms;
  selection->remembered++;
  selection->blocked += report->blocked_ms > 0;
  if (!selection->complete || !address_is_wanted(selection, report))
    return;
  if (selection->count == selection->room) {
    size_t room = selection->room ? selection->room * 2 : GROWN_BY;
    struct limit_report *grown =
        room <= ADDRESSES_MOST ? realloc(selection->reports, room * sizeof *selection->reports) : NULL;
    if (!grown) {
      selection->complete = false;
      return;
    }
    selection->reports = grown;
    selection->room = room;
  }
  selection->reports[selection->count++] = *report;
}

static int descending(double a, double b) { return a > b ? -1 : a < b; }

static int compare_address_client(const void *left, const void *right) {
  const struct limit_report *a = left, *b = right;
  int order = memcmp(a->address.bytes, b->address.bytes, sizeof a->address.bytes);
  return order ? order : a->scope < b->scope ? -1 : a->scope > b->scope;
}

static int by_connections(const void *left, const void *right) {
  const struct limit_report *a = left, *b = right;
  int order = descending(a->connections, b->connections);
  return order ? order : compare_address_client(left, right);
}

static int by_rate(const void *left, const void *right) {
  const struct limit_report *a = left, *b = right;
  int order = descending(a->rate, b->rate);
  return order ? order : compare_address_client(left, right);
}

static int by_refused(const void *left, const void *right) {
  const struct limit_report *a = left, *b = right;
  int order = descending((double)a->refused, (double)b->refused);
  return order ? order : compare_address_client(left, right);
}

static int by_blocked(const void *left, const void *right) {
  const struct limit_report *a = left, *b = right;
  int order = descending((double)a->blocked_ms, (double)b->blocked_ms);
  return order ? order : compare_address_client(left, right);
}

static void write_report(struct value *list, const struct selection *selection, const struct limit_report *report) {
  char address[ADDRESS_TEXT_SIZE], text[ADDRESS_TEXT_SIZE + 8];
  struct value *row = value_set_table(list, NULL);
  bool is_prefix = !ip_address_is_ipv4(&report->address) && report->prefix < 128;
  ip_address_format(&report->address, address);
  snprintf(text, sizeof text, is_prefix ? "%s/%u" : "%s", address, report->prefix);
  value_set_string(row, "address", text);
  value_set_string(row, "scope", scope_of(report));
  value_set_string(row, "route", route_of(selection, report));
  value_set_number(row, "connections", report->connections);
  value_set_number(row, "rate", report->rate);
  value_set_number(row, "refused", (double)report->refused);
  value_set_number(row, "blocked_for", (double)report->blocked_ms / 1000);
}

static struct value *addresses_refuse(int status, const char *message) {
  struct value *root = value_table();
  value_set_number(root, "status", status);
  value_set_string(root, "error", message);
  return root;
}

static struct value *write_answer(struct selection *selection) {
  static int (*const orders[])(const void *, const void *) = {
      [ADDRESSES_BY_REFUSED] = by_refused,
      [ADDRESSES_BY_CONNECTIONS] = by_connections,
      [ADDRESSES_BY_RATE] = by_rate,
      [ADDRESSES_BY_BLOCKED] = by_blocked,
      [ADDRESSES_BY_CLIENT] = compare_address_client,
  };
  const struct native_page *page = &selection->wanted->page;
  struct value *root = value_table();
  if (selection->count > 0)
    qsort(selection->reports, selection->count, sizeof *selection->reports, orders[selection->wanted->order]);
  value_set_number(root, "total", (double)selection->count);
  value_set_number(root, "remembered", (double)selection->remembered);
  value_set_number(root, "blocked", (double)selection->blocked);
  value_set_number(root, "limit", (double)page->limit);
  value_set_number(root, "offset", (double)page->offset);
  value_set_boolean(root, "complete", selection->complete);
  struct value *list = value_set_table(root, "addresses");
  for (size_t i = page->offset; i < selection->count && i - page->offset < page->limit; i++)
    write_report(list, selection, &selection->reports[i]);
  return root;
}

struct value *addresses_report(void *context, const struct native_addresses *wanted) {
  struct runtime *runtime = context;
  struct instance *instance = runtime->instance;
  struct selection selection = {.wanted = wanted, .complete = true};
  if (!instance || !instance->threads.admission.limits)
    return addresses_refuse(503, "moongate is starting or stopping");
  if (wanted->client) {
    struct error wrong = {0}, error;
    selection.clients = ip_set_new(&wanted->client, 1, &wrong);
    if (!selection.clients) {
      error_set(&error, EINVAL, "client: %s", wrong.message);
      return addresses_refuse(400, error.message);
    }
  }
  selection.scopes = names_scopes(&instance->names, &selection.scope_count);
  selection.block_ms = instance->config.policy->block_ms;
  limits_each(instance->threads.admission.limits, loop_now(&runtime->loop), on_report, &selection);
  struct value *root = write_answer(&selection);
  free(selection.reports);
  free(selection.scopes);
  ip_set_unref(selection.clients);
  return root;
}
