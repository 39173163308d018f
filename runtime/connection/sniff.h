/* SPDX-License-Identifier: MIT
 *
 * The step between accept and the choice of a route, on ports with TLS routes only: the first byte tells TLS from
 * plain, a ClientHello is read to its end, and all bytes are given back to the stream. Also how such a port says no. */
#pragma once

#include "connection/connection.h"

/* DONE: connection->sniffed has what the hello said; NULL there means plain, and that the port has routes for it. Waits
 * for as long as timeouts.initial_data says. */
enum step_result step_sniff(struct connection *connection);

/* No route takes a connection whose hello was read: an alert goes out, and it is closed. Always REFUSED. By its name,
 * or because it has none; or by what else stands in `match`, with the alert that says so. */
enum step_result sniff_refuse_name(struct connection *connection);
enum step_result sniff_refuse_route(struct connection *connection, enum alert_description alert);

/* Lets go of a part of a hello. Nothing when there is none. */
void sniff_cancel(struct connection *connection);
