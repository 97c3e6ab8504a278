"""One file per venue, each with one public class."""
