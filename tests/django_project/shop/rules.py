from windlass.accounts.api import list_users


def write_everybodys(principal, action, owners):
    return owners | {f"user:{user.pk}" for user in list_users()}


def only_read(principal, action, owners):
    return owners if action == "read" else set()
