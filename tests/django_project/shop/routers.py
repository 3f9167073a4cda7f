class Apart:
    """Puts the shop's tables into another database than Windlass's."""

    def db_for_write(self, model, **hints):
        return "shop" if model._meta.app_label == "shop" else None
