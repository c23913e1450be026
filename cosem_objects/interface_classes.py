"""What the standard calls things: interface classes, their attributes and methods by number, and values of enums.

For people who read what went over a wire; nothing is decided by these names. They are those of the Blue Book
(IEC 62056-6-2), in small letters, for the newest version of each class: older versions have fewer attributes, under
the same numbers. A class is listed with what is certain about it; for some that is only its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from cosem_objects import (
    association_ln,
    charge,
    disconnect_control,
    payment,
    push_setup,
    security_setup,
    token_gateway,
)
from cosem_objects.names import spell


@dataclass(frozen=True, slots=True)
class InterfaceClassNames:
    """``attributes`` and ``methods`` by number."""

    name: str
    attributes: Mapping[int, str]
    methods: Mapping[int, str]


def describe_class(class_id: int) -> str:
    """``Token gateway``, or ``class 999`` if it has no name here."""
    names = INTERFACE_CLASSES.get(class_id)
    return f"class {class_id}" if names is None else names.name


def describe_attribute(class_id: int, attribute: int) -> str:
    """``Token gateway, token_status``; number instead of name where there is none. Attribute 0 stands for all."""
    if attribute == 0:
        return f"{describe_class(class_id)}, all attributes"
    names = INTERFACE_CLASSES.get(class_id, _NO_NAMES)
    return f"{describe_class(class_id)}, {names.attributes.get(attribute, f'attribute {attribute}')}"


def describe_method(class_id: int, method: int) -> str:
    """``Token gateway, enter``; number instead of name where there is none."""
    names = INTERFACE_CLASSES.get(class_id, _NO_NAMES)
    return f"{describe_class(class_id)}, {names.methods.get(method, f'method {method}')}"


def enum_words(class_id: int, attribute: int, path: tuple[int, ...], value: int) -> str | None:
    """``execution-ok (3)``: a number inside an attribute, if it is one of a list; else None.

    ``path`` leads to the number from the attribute's value: the index of the element, counted from 0, in each
    structure on the way; empty if the value itself is the number.
    """
    kind = _ENUMS.get((class_id, attribute, path))
    return None if kind is None else spell(kind, value)


_FIRST_AFTER_LOGICAL_NAME = 2
_NO_NAMES = InterfaceClassNames("", {1: "logical_name"}, {})


def _class(
    name: str, attributes: str | Mapping[int, str] = "", methods: str | Mapping[int, str] = ""
) -> InterfaceClassNames:
    """Names in a text are numbered as they come: methods from 1, attributes from 2, the first being logical_name."""
    if isinstance(attributes, str):
        attributes = dict(enumerate(attributes.split(), _FIRST_AFTER_LOGICAL_NAME))
    if isinstance(methods, str):
        methods = dict(enumerate(methods.split(), 1))
    return InterfaceClassNames(name, {1: "logical_name", **attributes}, methods)


def _names(numbers: type[IntEnum], longer: Mapping[int, str] | None = None) -> dict[int, str]:
    """The members of an enum of attributes or methods; ``longer`` where the standard repeats the name of the class."""
    return {member.value: member.name.lower() for member in numbers} | dict(longer or {})


_ACCOUNT_LONGER = {2: "account_mode_and_status", 13: "account_activation_time", 14: "account_closure_time"}
_CREDIT_LONGER = {3: "credit_type", 7: "credit_configuration", 8: "credit_status"}

INTERFACE_CLASSES: Mapping[int, InterfaceClassNames] = {
    1: _class("Data", "value"),
    3: _class("Register", "value scaler_unit", "reset"),
    4: _class("Extended register", "value scaler_unit status capture_time", "reset"),
    5: _class(
        "Demand register",
        "current_average_value last_average_value scaler_unit status capture_time start_time_current period"
        " number_of_periods",
        "reset next_period",
    ),
    6: _class("Register activation", "register_assignment mask_list active_mask", "add_register add_mask delete_mask"),
    7: _class(
        "Profile generic",
        "buffer capture_objects capture_period sort_method sort_object entries_in_use profile_entries",
        "reset capture get_buffer_by_range get_buffer_by_index",
    ),
    8: _class(
        "Clock",
        "time time_zone status daylight_savings_begin daylight_savings_end daylight_savings_deviation"
        " daylight_savings_enabled clock_base",
        "adjust_to_quarter adjust_to_measuring_period adjust_to_minute adjust_to_preset_time preset_adjusting_time"
        " shift_time",
    ),
    9: _class("Script table", "scripts", "execute"),
    10: _class("Schedule", "entries", "enable_disable insert delete"),
    11: _class("Special days table", "entries", "insert delete"),
    12: _class("Association SN", "object_list access_rights_list security_setup_reference user_list current_user"),
    15: _class(
        "Association LN",
        _names(association_ln.Attribute, {10: "user_list", 11: "current_user"}),
        "reply_to_hls_authentication change_hls_secret add_object remove_object add_user remove_user",
    ),
    17: _class("SAP assignment", "sap_assignment_list", "connect_logical_device"),
    18: _class(
        "Image transfer",
        "image_block_size image_transferred_blocks_status image_first_not_transferred_block_number"
        " image_transfer_enabled image_transfer_status image_to_activate_info",
        "image_transfer_initiate image_block_transfer image_verify image_activate",
    ),
    19: _class(
        "IEC local port setup",
        "default_mode default_baud prop_baud response_time device_addr pass_p1 pass_p2 pass_w5",
    ),
    20: _class(
        "Activity calendar",
        "calendar_name_active season_profile_active week_profile_table_active day_profile_table_active"
        " calendar_name_passive season_profile_passive week_profile_table_passive day_profile_table_passive"
        " activate_passive_calendar_time",
        "activate_passive_calendar",
    ),
    21: _class("Register monitor", "thresholds monitored_value actions"),
    22: _class("Single action schedule", "executed_script type execution_time"),
    23: _class(
        "IEC HDLC setup",
        "comm_speed window_size_transmit window_size_receive max_info_field_length_transmit"
        " max_info_field_length_receive inter_octet_time_out inactivity_time_out device_address",
    ),
    24: _class("IEC twisted pair (1) setup"),
    25: _class("M-Bus slave port setup", "default_baud avail_baud addr_state bus_address"),
    26: _class("Utility tables", "table_id length buffer"),
    27: _class("Modem configuration", "comm_speed initialization_string modem_profile"),
    28: _class("Auto answer", "mode listening_window status number_of_calls number_of_rings list_of_allowed_callers"),
    29: _class("Auto connect", "mode repetitions repetition_delay calling_window destination_list", "connect"),
    30: _class(
        "Data protection",
        "protection_buffer protection_object_list protection_parameters_get protection_parameters_set"
        " required_protection",
        "get_protected_attributes set_protected_attributes invoke_protected_method",
    ),
    push_setup.CLASS_ID: _class("Push setup", _names(push_setup.Attribute), "push reset"),
    41: _class("TCP-UDP setup", "tcp_udp_port ip_reference mss nb_of_sim_conn inactivity_time_out"),
    42: _class(
        "IPv4 setup",
        "dl_reference ip_address multicast_ip_address ip_options subnet_mask gateway_ip_address use_dhcp_flag"
        " primary_dns_address secondary_dns_address",
        "add_mc_ip_address delete_mc_ip_address get_nbof_mc_ip_addresses",
    ),
    43: _class("MAC address setup", "mac_address"),
    44: _class("PPP setup", "phy_reference lcp_options ipcp_options ppp_authentication"),
    45: _class("GPRS modem setup", "apn pin_code quality_of_service"),
    46: _class("SMTP setup", "server_port user_name login_password server_address sender_address"),
    47: _class("GSM diagnostic", "operator status cs_attachment ps_status cell_info adjacent_cells capture_time"),
    48: _class(
        "IPv6 setup",
        "dl_reference address_config_mode unicast_ipv6_addresses multicast_ipv6_addresses gateway_ipv6_addresses"
        " primary_dns_address secondary_dns_address traffic_class neighbor_discovery_setup",
        "add_ipv6_address remove_ipv6_address",
    ),
    61: _class("Register table", "table_cell_values table_cell_definition scaler_unit", "reset capture"),
    62: _class(
        "Compact data",
        "compact_buffer capture_objects template_id template_description capture_method",
        "reset capture",
    ),
    63: _class("Status mapping", "status_word mapping_table"),
    security_setup.CLASS_ID: _class("Security setup", _names(security_setup.Attribute), _names(security_setup.Method)),
    65: _class("Parameter monitor", "changed_parameter capture_time parameter_list", "add_parameter delete_parameter"),
    67: _class("Sensor manager"),
    68: _class(
        "Arbitrator",
        "actions permissions_table weightings_table most_recent_requests_table last_outcome",
        "request_action reset",
    ),
    disconnect_control.CLASS_ID: _class(
        "Disconnect control", _names(disconnect_control.Attribute), "remote_disconnect remote_reconnect"
    ),
    71: _class(
        "Limiter",
        "monitored_value threshold_active threshold_normal threshold_emergency min_over_threshold_duration"
        " min_under_threshold_duration emergency_profile emergency_profile_group_id_list emergency_profile_active"
        " actions",
    ),
    72: _class(
        "M-Bus client",
        "mbus_port_reference capture_definition capture_period primary_address identification_number manufacturer_id"
        " version device_type access_number status alarm configuration encryption_key_status",
        "slave_install slave_deinstall capture reset_alarm synchronize_clock data_send set_encryption_key transfer_key",
    ),
    77: _class("M-Bus diagnostic"),
    payment.ACCOUNT_CLASS_ID: _class(
        "Account",
        _names(payment.AccountAttribute, _ACCOUNT_LONGER),
        "activate_account close_account reset_account",
    ),
    payment.CREDIT_CLASS_ID: _class(
        "Credit",
        _names(payment.CreditAttribute, _CREDIT_LONGER),
        "update_amount set_amount_to_value invoke_credit",
    ),
    charge.CLASS_ID: _class("Charge", _names(charge.Attribute), _names(charge.Method)),
    token_gateway.CLASS_ID: _class("Token gateway", _names(token_gateway.Attribute), "enter"),
    payment.STS_CLASS_ID: _class("IEC 62055-41 attributes", _names(payment.StsAttribute)),
    122: _class("Function control"),
    123: _class("Array manager"),
    124: _class("Communication port protection"),
    151: _class("LTE monitoring"),
    152: _class("CoAP setup"),
    153: _class("CoAP diagnostic"),
}
"""By class_id."""


class SortMethod(IntEnum):
    """Profile generic, attribute 5."""

    FIFO = 1
    LIFO = 2
    LARGEST = 3
    SMALLEST = 4
    NEAREST_TO_ZERO = 5
    FARTHEST_FROM_ZERO = 6


class ClockBase(IntEnum):
    """Clock, attribute 9."""

    NOT_DEFINED = 0
    INTERNAL_CRYSTAL = 1
    MAINS_FREQUENCY_50_HZ = 2
    MAINS_FREQUENCY_60_HZ = 3
    GPS = 4
    RADIO_CONTROLLED = 5


class ImageTransferStatus(IntEnum):
    """Image transfer, attribute 6."""

    IMAGE_TRANSFER_NOT_INITIATED = 0
    IMAGE_TRANSFER_INITIATED = 1
    IMAGE_VERIFICATION_INITIATED = 2
    IMAGE_VERIFICATION_SUCCESSFUL = 3
    IMAGE_VERIFICATION_FAILED = 4
    IMAGE_ACTIVATION_INITIATED = 5
    IMAGE_ACTIVATION_SUCCESSFUL = 6
    IMAGE_ACTIVATION_FAILED = 7


class Unit(IntEnum):
    """The physical unit of a scaler_unit: those of the Blue Book's table that a register of a payment meter shows."""

    YEAR = 1
    MONTH = 2
    WEEK = 3
    DAY = 4
    HOUR = 5
    MINUTE = 6
    SECOND = 7
    DEGREE = 8
    DEGREE_CELSIUS = 9
    CURRENCY = 10
    METRE = 11
    METRE_PER_SECOND = 12
    CUBIC_METRE = 13
    CORRECTED_CUBIC_METRE = 14
    CUBIC_METRE_PER_HOUR = 15
    CORRECTED_CUBIC_METRE_PER_HOUR = 16
    WATT = 27
    VOLT_AMPERE = 28
    VAR = 29
    WATT_HOUR = 30
    VOLT_AMPERE_HOUR = 31
    VAR_HOUR = 32
    AMPERE = 33
    COULOMB = 34
    VOLT = 35
    HERTZ = 44
    PER_CENT = 56
    COUNT = 255


_SCALER_UNIT = (1,)
_ENUMS: Mapping[tuple[int, int, tuple[int, ...]], type[IntEnum]] = {
    (3, 3, _SCALER_UNIT): Unit,
    (4, 3, _SCALER_UNIT): Unit,
    (5, 4, _SCALER_UNIT): Unit,
    (7, 5, ()): SortMethod,
    (8, 9, ()): ClockBase,
    (association_ln.CLASS_ID, association_ln.Attribute.ASSOCIATION_STATUS, ()): association_ln.AssociationStatus,
    (18, 6, ()): ImageTransferStatus,
    (push_setup.CLASS_ID, push_setup.Attribute.SEND_DESTINATION_AND_METHOD, (0,)): push_setup.TransportService,
    (push_setup.CLASS_ID, push_setup.Attribute.SEND_DESTINATION_AND_METHOD, (2,)): push_setup.Message,
    (security_setup.CLASS_ID, security_setup.Attribute.SECURITY_SUITE, ()): security_setup.SecuritySuite,
    (disconnect_control.CLASS_ID, disconnect_control.Attribute.CONTROL_STATE, ()): disconnect_control.ControlState,
    (payment.ACCOUNT_CLASS_ID, payment.AccountAttribute.MODE_AND_STATUS, (0,)): payment.PaymentMode,
    (payment.ACCOUNT_CLASS_ID, payment.AccountAttribute.MODE_AND_STATUS, (1,)): payment.AccountStatus,
    (payment.ACCOUNT_CLASS_ID, payment.AccountAttribute.CURRENCY, (2,)): payment.CurrencyUnit,
    (payment.CREDIT_CLASS_ID, payment.CreditAttribute.TYPE, ()): payment.CreditType,
    (payment.CREDIT_CLASS_ID, payment.CreditAttribute.STATUS, ()): payment.CreditStatus,
    (charge.CLASS_ID, charge.Attribute.CHARGE_TYPE, ()): charge.ChargeType,
    (token_gateway.CLASS_ID, token_gateway.Attribute.TOKEN_DELIVERY_METHOD, ()): token_gateway.DeliveryMethod,
    (token_gateway.CLASS_ID, token_gateway.Attribute.TOKEN_STATUS, (0,)): token_gateway.StatusCode,
    # Some meters send the bare code.
    (token_gateway.CLASS_ID, token_gateway.Attribute.TOKEN_STATUS, ()): token_gateway.StatusCode,
}
"""(class_id, attribute, path inside the attribute) -> what the number there can be."""
