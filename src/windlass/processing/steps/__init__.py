"""The steps that come with Windlass. Like any plug-in's, they are found by entry point and know only the contract."""
