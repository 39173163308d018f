/* SPDX-License-Identifier: MIT
 *
 * What is told when somebody asks, beside connections, routes and diagnoses, which have headers of their own. */
#pragma once

#include "native/native.h"

struct instance;
struct route_verdict;
struct runtime;

/* The question "addresses": which client addresses the limits know, what each holds, how fast it comes, and whether it
 * is blocked; arguments as selection_query_init() has them. { total =, remembered =, blocked =, complete =, addresses =
 * { { address =, scope =, route =, connections =, rate =, refused =, blocked_for = in seconds }, … } } */
void addresses_ask(struct instance *instance, const struct value *arguments, struct native_call *call);

/* The question "config": what the config says, as its options are declared, in seconds and bytes; secrets are left out.
 */
struct value *config_report(const struct instance *instance);

/* The question "clients": what each client address has moved, and how many connections it has had; arguments likewise.
 * { total =, kept = addresses of all that are counted by, complete =, addresses = { { address =, connections =, active
 * =, bytes_in =, bytes_out = }, … }, other = the same of what is counted by none of them, all = of all routes } */
void clients_ask(struct instance *instance, const struct value *arguments, struct native_call *call);

/* The same of all addresses, in their order. */
void clients_ask_all(struct instance *instance, struct native_call *call);

/* The question "explain", of { offline =, config =, routes =, port =, address =, domain =, client_ip =, tls_version =,
 * tls =, limit = }: why a connection gets the route that it gets: the routes of its port in the order of choice, for
 * each the clause that turned it down, or what puts it where it is, and what the corridor's steps say of it. Functions
 * are not run: what depends on one is said to. With `offline` it is asked of the files, as check would load them, and
 * may block. Or { status =, error = which of these it is, or a sentence, ports = }. */
struct value *explain_choice(struct runtime *runtime, const struct value *words);

/* Writes what became of a route: { clause =, open = { "client_ip", … }, by = what puts it behind the one before,
 * matched = { address =, domain =, client_ip = } }. */
void explain_write_verdict(struct value *row, const struct route_verdict *verdict);

/* The question "metrics": what scripts have made: { metrics = { { name =, help =, type =, labels =, buckets =, series
 * = { { values =, number =, count =, counts = }, … } }, … }, dictionaries = { { name =, entries =, bytes =, bytes_most
 * =, evictions = }, … }, dropped =, lost = { log =, stdout =, stderr = } }. NULL without memory. */
struct value *script_metrics_report(const struct runtime *runtime);
